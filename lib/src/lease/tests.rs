use std::time::UNIX_EPOCH;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn at(hours: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000) + HOUR * hours
}

fn me<'a>(name: &'a str, opens: &'a [String]) -> Me<'a> {
    Me { device: name, key: name.to_owned(), opens }
}

fn taken(name: &str, hours: u32) -> Lease {
    Act::Take { takeover: None }.on(None, &me(name, &[]), at(hours), None).expect("free").expect("a lease")
}

#[test]
fn one_who_holds_it_keeps_it_until_its_time_is_over() {
    let lease = taken("a", 0);
    let b = me("b", &[]);
    let take = Act::Take { takeover: None };
    for (hours, seen, standing) in [
        (0, None, Standing::Held),
        (4, None, Standing::Held),
        (5, None, Standing::Expired),
        // A clock that is set back does not keep it for ever where the chain has not moved.
        (0, Some(HOUR * 5), Standing::Expired),
        (1, Some(HOUR * 4), Standing::Held),
    ] {
        assert_eq!(lease.standing(&b, at(hours), seen), standing, "{hours} {seen:?}");
        let refused = take.on(Some(&lease), &b, at(hours), seen).err();
        assert_eq!(refused.is_some(), standing == Standing::Held, "{hours} {seen:?}");
    }
    assert_eq!(lease.standing(&me("a", &[]), at(100), None), Standing::Mine);
}

#[test]
fn an_hour_between_two_clocks_takes_it_from_nobody_who_renews_it() {
    let mut lease = taken("a", 10);
    for quarter in 0..40 {
        let now = at(10) + HEARTBEAT * quarter;
        lease = lease.renewed(now).unwrap_or(lease);
        for skewed in [now - HOUR, now, now + HOUR] {
            assert_eq!(lease.standing(&me("b", &[]), skewed, None), Standing::Held);
        }
    }
}

#[test]
fn a_reason_takes_it_over_and_stays() {
    let lease = taken("a", 0);
    let act = Act::Take { takeover: Some(" the laptop is in the lake\u{7} ".into()) };
    let over = act.on(Some(&lease), &me("b", &[]), at(1), None).expect("not refused").expect("a lease");
    assert_eq!(over.takeover, Some(Takeover { from: "a".into(), reason: "the laptop is in the lake".into() }));
    assert_eq!((over.turn, &*over.key), (2, "b"));
    // Where nobody has to be asked there is nothing to give a reason for.
    let over = act.on(Some(&lease), &me("b", &[]), at(9), None).expect("not refused").expect("a lease");
    assert_eq!(over.takeover, None);
}

#[test]
fn what_is_handed_to_one_waits_for_nobody_else() {
    let keys = ["age1b".to_owned()];
    let (a, b, c) = (me("a", &[]), me("b", &keys), me("c", &[]));
    let hand = |to: &[String]| Act::HandOver { to: to.to_vec(), note: Some("look at line 3".into()), takeover: None };
    let sent = hand(&keys).on(Some(&taken("a", 0)), &a, at(1), None).expect("its own").expect("a lease");
    let standing = |lease: &Lease, who: &Me<'_>| lease.standing(who, at(1000), None);
    assert_eq!([&a, &b, &c].map(|who| standing(&sent, who)), [Standing::Sent, Standing::Waiting, Standing::Elsewhere]);
    let take = Act::Take { takeover: None };
    assert!(take.on(Some(&sent), &c, at(2), None).is_err());
    assert!(take.on(Some(&sent), &a, at(2), None).is_ok(), "who sent it may change their mind");
    assert_eq!(take.on(Some(&sent), &b, at(2), None).expect("theirs").expect("a lease").note, None);
    let any = hand(&[]).on(None, &a, at(1), None).expect("free").expect("a lease");
    assert_eq!(standing(&any, &c), Standing::Waiting);
}

#[test]
fn only_what_is_ours_is_released_or_renewed() {
    let lease = taken("a", 0);
    for act in [Act::Release, Act::Renew] {
        assert_eq!(act.on(Some(&lease), &me("b", &[]), at(1), None), Ok(None));
    }
    let released = Act::Release.on(Some(&lease), &me("a", &[]), at(1), None).expect("its own").expect("a lease");
    assert_eq!(released.standing(&me("b", &[]), at(1), None), Standing::Free);
    assert_eq!(lease.renewed(at(0)), None, "a moment ago");
    assert!(lease.renewed(at(1)).is_some_and(|lease| lease.since == time::format(at(0))));
}

#[test]
fn of_two_the_later_turn_is_newer_and_the_stores_in_doubt() {
    let (ours, theirs) = (Lease { turn: 3, ..taken("a", 0) }, Lease { turn: 3, ..taken("b", 0) });
    assert_eq!(Lease::newer(Some(&ours), Some(&theirs)), Some(&theirs));
    let later = Lease { turn: 4, ..ours.clone() };
    assert_eq!(Lease::newer(Some(&later), Some(&theirs)), Some(&later));
    assert_eq!(Lease::newer(Some(&ours), None), Some(&ours));
}
