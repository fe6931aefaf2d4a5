//! placeholder
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::Engine;
use crate::queue::store::Fault;

pub(super) struct Retention {}

impl Retention {
    pub(super) fn new(_engine: &Engine) -> Retention {
        Retention {}
    }
    pub(super) fn step(
        &mut self,
        _engine: &Engine,
        _duplicates: &mut Duplicates,
    ) -> Result<(), Fault> {
        Ok(())
    }
}
