//! Sets of vCPUs and of vectors, at the ends of their words.

use super::*;
use crate::apic::vectors::Vectors;

#[test]
fn sets_of_vcpus() {
    let members = [0, 1, 63, 64, 127, 128, 191, 192, 254, 255];
    assert!(VcpuSet::default().is_empty() && VcpuSet::default().iter().next().is_none());
    let mut all = VcpuSet::default();
    for vcpu in members {
        let mut one = VcpuSet::default();
        one.kick(vcpu);
        assert!(!one.is_empty());
        for other in 0..300 {
            assert_eq!(one.contains(other), other == vcpu, "{other} of {vcpu}");
        }
        // What is no member is not taken out.
        members.into_iter().filter(|other| *other != vcpu).for_each(|other| one.remove(other));
        assert_eq!(one.iter().collect::<Vec<_>>(), [vcpu]);
        one.remove(vcpu);
        assert_eq!(one, VcpuSet::default());
        all.kick(vcpu);
        all.kick(vcpu);
    }
    // Those beyond the last one are nobody.
    all.kick(256);
    all.remove(256);
    assert_eq!(all.iter().collect::<Vec<_>>(), members);
    for (taken, vcpu) in members.into_iter().enumerate() {
        all.remove(vcpu);
        assert_eq!(all.iter().collect::<Vec<_>>(), members[taken + 1..]);
    }
    assert!(all.is_empty());
}

#[test]
fn sets_of_vectors() {
    assert!(Vectors::default().is_empty() && Vectors::default().highest().is_none());
    let mut all = Vectors::default();
    for vector in [0, 31, 32, 63, 64, 100, 127, 128, 191, 192, 255] {
        let mut one = Vectors::default();
        one.insert(vector);
        assert!(!one.is_empty() && one.contains(vector) && !one.contains(vector ^ 1));
        assert_eq!(one.highest(), Some(vector));
        let (word, bit) = Vectors::place(vector);
        for index in 0..8 {
            assert_eq!(one.word(index), if index as usize == word { bit } else { 0 }, "{vector}");
        }
        one.set_word(word ^ 1, 0xffff_ffff);
        one.set_word(word, 0);
        one.set_word(word ^ 1, 0);
        assert!(one.is_empty());
        all.insert(vector);
        assert_eq!(all.highest(), Some(vector));
    }
}

/// Members at the same place of two words.
#[test]
fn two_members_are_not_none() {
    for (one, other) in [(5, 69), (5, 133), (5, 197), (69, 133), (69, 197), (133, 197)] {
        let (mut vectors, mut vcpus) = (Vectors::default(), VcpuSet::default());
        for member in [one, other] {
            vectors.insert(member);
            vcpus.kick(member.into());
        }
        assert!(!vectors.is_empty() && !vcpus.is_empty());
    }
}
