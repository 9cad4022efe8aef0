//! What all servers offer, under the names that clients see.

mod holds;
mod item;
mod listing;
mod merge;
mod shelf;

pub(crate) use self::{
    item::{Item, Kind},
    listing::{Fetched, Listing, is_list_changed},
    merge::{Catalogue, Source, both, shown},
    shelf::{Place, Shelf},
};
