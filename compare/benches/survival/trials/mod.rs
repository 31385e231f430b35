//! What the servers go through.

mod descriptors;
mod flooder;
mod half_close;
mod never_read;
mod trial;

pub(crate) use trial::{Finding, Trial, summary};

pub(crate) const ALL: [Trial; 4] =
    [descriptors::TRIAL, never_read::TRIAL, half_close::TRIAL, flooder::TRIAL];
