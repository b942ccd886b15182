use super::*;

fn masks(looks: &[Look]) -> Vec<u32> {
    let mask = |look: &Look| if let Look::Leaves { mask, .. } = look { *mask } else { 0 };
    looks.iter().map(mask).collect()
}

#[test]
fn leaves_are_kept_back_until_a_look_finds_them_right_and_looks_become_rare() {
    let mut blocked = BlockedLeaves::default();
    assert!(blocked.block(1, 0, 0b1100, "gone", 0));
    assert_eq!(blocked.mask(1, 0), 0b1100);
    let mut looks = Vec::new();
    for now in 0..100 {
        if masks(&blocked.due(now * 1_000)) == [0b1100] {
            assert_eq!((blocked.mask(1, 0), blocked.is_looking(1, 0)), (0, true));
            assert!(!blocked.block(1, 0, 0b1100, "gone", now * 1_000), "it was reported");
            looks.push(now);
        }
        assert_eq!(blocked.mask(1, 0), 0b1100);
    }
    assert_eq!(looks, [0, 1, 3, 7, 15, 31, 63]);
    blocked.given_again(1, 100_000);
    assert_eq!(masks(&blocked.due(100_000)), [0b1100]);
    blocked.clear(1, 0, 0b0100);
    assert!(!blocked.block(1, 0, 0b1000, "gone", 100_000));
    assert_eq!(blocked.mask(1, 0), 0b1000);
    blocked.clear(1, 0, 0b1000);
    assert_eq!(blocked.reasons().count(), 0);
}

#[test]
fn leaves_found_during_a_look_at_others_of_their_tile_are_kept_back_meanwhile() {
    let mut blocked = BlockedLeaves::default();
    blocked.block(1, 0, 0b01, "gone", 0);
    assert_eq!(masks(&blocked.due(0)), [0b01]);
    assert!(blocked.block(1, 0, 0b10, "rotten", 0));
    assert_eq!(blocked.mask(1, 0), 0b10);
    blocked.clear(1, 0, 0b01);
    assert_eq!((blocked.mask(1, 0), masks(&blocked.due(0))), (0b10, vec![0b10]));
    blocked.not_looked(1);
    assert_eq!((blocked.mask(1, 0), masks(&blocked.due(0))), (0b10, vec![0b10]));
}

#[test]
fn trees_tiles_and_reasons_are_bounded_and_what_has_no_room_is_read_as_a_whole() {
    let mut blocked = BlockedLeaves::default();
    for tile in 0..300 {
        let news = blocked.block(1, tile, 1, &format!("tile {tile}"), 0);
        assert_eq!(news, tile < REASONS_MAX as u64);
    }
    let looks = blocked.due(0);
    assert_eq!((looks.len(), looks.last()), (TILES_MAX + 1, Some(&Look::WholeTree(1))));
    assert!(blocked.is_looking(1, 299));
    for tile in 0..300 {
        blocked.block(1, tile, 1, "again", 0);
    }
    assert_eq!(blocked.due(999), [], "they failed again");
    assert_eq!(blocked.due(1_000).len(), TILES_MAX + 1);
    (0..300).for_each(|tile| blocked.clear(1, tile, 1));
    assert_eq!(blocked.reasons().count(), 1);
    blocked.read_to_end(1);
    assert_eq!(blocked.reasons().count(), 0);
    assert!((0..2_000).all(|tree| blocked.block(tree, 0, 1, "gone", 0)));
    assert_eq!(blocked.reasons().count(), TREES_MAX);
}

#[test]
fn of_what_has_no_room_each_read_is_a_look() {
    let mut blocked = BlockedLeaves::default();
    for tile in 0..TILES_MAX as u64 {
        blocked.block(1, tile, 1, "gone", 0);
    }
    assert!(!blocked.is_looking(1, 0) && !blocked.is_looking(1, 299) && !blocked.is_looking(2, 0));
    blocked.block(1, 299, 1, "gone", 0);
    assert!(blocked.is_looking(1, 299), "before its look, too");
    assert!(!blocked.is_looking(1, 0), "it is kept back");
    assert_eq!(blocked.due(0).len(), TILES_MAX + 1);
    blocked.read_to_end(1);
    assert!(!blocked.is_looking(1, 299));
    for tree in 0..2_000 {
        blocked.block(tree, 0, 1, "gone", 0);
    }
    assert!(blocked.is_looking(1_999, 0) && blocked.is_looking(5_000, 7), "any tree may be the one");
}
