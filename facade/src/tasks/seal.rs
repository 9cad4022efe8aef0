//! A task's name towards its owner.

use std::hash::{BuildHasher, RandomState};

use toolweir_core::Principal;

/// Seals names: `SEAL.LENGTH.SERVER.OWN`, where the seal is a keyed hash of all and of the owner.
///
/// The keys live as long as the process. 128 bits of SipHash stand between a name and who may use it; the server's own
/// name, which the specification wants to be beyond guessing, stands behind them.
#[derive(Debug, Default)]
pub(super) struct Seal([RandomState; 2]);

impl Seal {
    fn mark(&self, principal: &Principal, server: &str, own: &str) -> String {
        let [one, other] = &self.0;
        let named = (principal.as_str(), server, own);
        format!("{:016x}{:016x}", one.hash_one(named), other.hash_one(named))
    }

    pub(super) fn show(&self, principal: &Principal, server: &str, own: &str) -> String {
        format!("{}.{}.{server}.{own}", self.mark(principal, server, own), server.len())
    }

    /// The server and its own name; `None` where this principal was given no such name.
    pub(super) fn open<'a>(
        &self,
        principal: &Principal,
        shown: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        let (_, rest) = shown.split_once('.')?;
        let (length, rest) = rest.split_once('.')?;
        let (server, rest) = rest.split_at_checked(length.parse().ok()?)?;
        let own = rest.strip_prefix('.')?;
        (self.show(principal, server, own) == shown).then_some((server, own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_its_owner_opens_a_name(server in ".{0,20}", own in ".{0,40}", other in "[a-z]{1,9}") {
            let (seal, owner) = (Seal::default(), Principal::new("Owner"));
            let shown = seal.show(&owner, &server, &own);
            prop_assert_eq!(seal.open(&owner, &shown), Some((server.as_str(), own.as_str())));
            prop_assert_eq!(seal.open(&Principal::new(other), &shown), None);
            prop_assert_eq!(Seal::default().open(&owner, &shown), None, "of another process");
            for (at, _) in shown.char_indices() {
                let mut changed = shown.clone();
                changed.insert(at, '0');
                prop_assert_eq!(seal.open(&owner, &changed), None);
            }
        }

        #[test]
        fn nothing_panics(shown in "([0-9a-f]{32})?\\.?[0-9]{0,20}\\.?.{0,9}") {
            prop_assert_eq!(Seal::default().open(&Principal::local(), &shown), None);
        }
    }
}
