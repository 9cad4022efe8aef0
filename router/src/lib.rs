//! Ranks the servers that can answer a call, and learns by listening.
