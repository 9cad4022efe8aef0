//! A ranking holds at most four servers, in the order in which they came.

use proptest::prelude::*;
use toolweir_core::{RANKED_MAX, Ranked, ServerId};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_ranking_is_the_first_few_of_what_came(numbers in prop::collection::vec(any::<u32>(), 0..12)) {
        let ids: Vec<ServerId> = numbers.iter().copied().map(ServerId::new).collect();
        let collected: Ranked = ids.iter().copied().collect();
        let mut pushed = Ranked::none();
        for id in &ids {
            pushed.push(*id);
        }
        prop_assert_eq!(&*collected, &ids[..ids.len().min(RANKED_MAX)]);
        prop_assert_eq!(collected, pushed);
        prop_assert!(collected.iter().zip(&numbers).all(|(id, number)| id.get() == *number));
    }
}

#[test]
fn an_empty_ranking_is_the_default_and_takes_no_more_than_it_is_given() {
    assert!(Ranked::default().is_empty());
    assert_eq!(Ranked::none(), Ranked::default());
    let endless: Ranked = (0..).map(ServerId::new).collect();
    assert_eq!(endless.len(), RANKED_MAX);
    assert_eq!(format!("{endless:?}"), "[#0, #1, #2, #3]");
}
