//! Stops calling what keeps failing.
