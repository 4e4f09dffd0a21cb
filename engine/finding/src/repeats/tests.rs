//! Repeats against its definition, in random orders of arrival.

use super::*;

const SPAN: i64 = 10;

fn member(time: i64, id: u128) -> Member {
    Member { time, id: FindingId(id) }
}

fn group(members: &MemoryMembers, group: u128) -> BTreeMap<Member, Standing> {
    members.0.iter().filter(|((g, _), _)| *g == group).map(|((_, m), s)| (*m, *s)).collect()
}

/// The definition: one pass in order.
fn defined(members: &[Member]) -> BTreeMap<Member, Standing> {
    let mut sorted = members.to_vec();
    sorted.sort();
    let mut standings: BTreeMap<Member, Standing> = BTreeMap::new();
    let mut leader: Option<Member> = None;
    for member in sorted {
        let led = leader.filter(|l| member.time - l.time < SPAN).unwrap_or(member);
        standings.insert(member, Standing { leader: led, repeats: 0 });
        if led != member {
            standings.get_mut(&led).unwrap().repeats += 1;
        }
        leader = Some(led);
    }
    standings
}

#[test]
fn a_repeat_is_folded_and_counted_and_the_next_stands_out_again() {
    let mut members = MemoryMembers::default();
    let suppression = RepeatGroup { group: 1, span: SPAN };
    for (time, id) in [(0, 1), (9, 2), (10, 3), (19, 4)] {
        assert_eq!(insert(&mut members, suppression, member(time, id)), Ok(Vec::new()));
    }
    let standing = |m: Member| members.standing(1, m).unwrap().unwrap().repeats(m.id);
    assert_eq!(standing(member(0, 1)), Repeats { folded_into: None, count: 1 });
    assert_eq!(standing(member(9, 2)), Repeats { folded_into: Some(FindingId(1)), count: 0 });
    assert_eq!(standing(member(10, 3)), Repeats { folded_into: None, count: 1 });
    assert_eq!(members.leaders(), 2);
}

#[test]
fn a_withdrawn_leader_hands_over() {
    let mut members = MemoryMembers::default();
    let suppression = RepeatGroup { group: 1, span: SPAN };
    for (time, id) in [(0, 1), (5, 2), (9, 3)] {
        insert(&mut members, suppression, member(time, id)).unwrap();
    }
    assert_eq!(remove(&mut members, suppression, member(0, 1)), Ok(vec![FindingId(2)]));
    assert_eq!(group(&members, 1), defined(&[member(5, 2), member(9, 3)]));
}

#[test]
fn any_order_of_arrival_gives_what_the_definition_gives() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut folded = 0;
    for _ in 0..500 {
        let mut members = MemoryMembers::default();
        let mut present: Vec<Member> = Vec::new();
        let suppression = RepeatGroup { group: 7, span: SPAN };
        let other = RepeatGroup { group: 8, span: SPAN };
        for id in 0..40 {
            if random(4) == 0 && !present.is_empty() {
                let gone = present.swap_remove(random(present.len() as u64) as usize);
                remove(&mut members, suppression, gone).unwrap();
            } else {
                let added = member(random(80) as i64, id);
                present.push(added);
                insert(&mut members, suppression, added).unwrap();
                insert(&mut members, other, added).unwrap();
            }
            assert_eq!(group(&members, 7), defined(&present));
        }
        folded += present.len() - defined(&present).iter().filter(|(m, s)| s.leader == **m).count();
    }
    assert!(folded > 1_000, "only {folded} were folded");
}
