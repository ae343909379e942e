//! A new master key: what an older one sealed is sealed anew, by the alarm and when the clock asks for it. Once the directory
//! names no connection of the old key any more, that key can go.

use postern_domain::problem::Problem;
use postern_domain::seal::version_of;
use postern_domain::time::Millis;

use crate::Connection;
use crate::credential::Credential;
use crate::sealing::Column;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    /// Asked for, since the directory knows of another key: it is told anew, whether anything was sealed or not.
    pub(crate) fn reseal_and_tell(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.settle(now, random)?;
        if self.reseal(now, random)? {
            return Ok(());
        }
        let mut change = self.change()?;
        change.record.version += 1;
        self.commit(change, now, |_| Ok(()))
    }

    /// Seals anew, with the active master key, what an older one sealed. Whether it did.
    pub(crate) fn reseal(&mut self, now: Millis, random: &mut dyn Random) -> Result<bool, Problem> {
        let Some(active) = self
            .keys
            .as_ref()
            .map(postern_domain::seal::MasterKeys::active_version)
        else {
            return Ok(false);
        };
        let memory = self.standing()?;
        let Some(credential) = &memory.credential else {
            return Ok(false);
        };
        if versions(credential).all(|version| version == active) {
            return Ok(false);
        }
        let mut change = self.change()?;
        let opener = self.opener(&change.record);
        let credential = change.credential()?;
        let generation = credential.generation;
        for (blob, column) in [
            (&mut credential.access, Column::Access),
            (&mut credential.refresh, Column::Refresh),
            (&mut credential.older, Column::Older),
        ] {
            match opener.open(blob.as_deref(), column, generation) {
                Ok(Some(plain)) => *blob = Some(opener.seal(&plain, column, generation, random)?),
                Ok(None) => {}
                // Kept as it is: who needs it finds out, and says so.
                Err(_) => return Ok(false),
            }
        }
        change.record.version += 1; // the directory is told of the key
        self.commit(change, now, |_| Ok(()))?;
        Ok(true)
    }
}

/// The oldest master key that is still needed for it.
pub(crate) fn oldest_key(credential: &Credential) -> Option<u8> {
    versions(credential).min()
}

fn versions(credential: &Credential) -> impl Iterator<Item = u8> {
    [&credential.access, &credential.refresh, &credential.older]
        .into_iter()
        .flatten()
        .filter_map(|blob| version_of(blob))
}
