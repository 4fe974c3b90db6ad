//! What a bare `cargo test` cannot have of itself.

/// What `cargo xtask test` has built or installed for the tests, by the name of the variable that says where.
pub(crate) fn by_xtask(name: &str) -> String {
    let told = std::env::var(name).ok().filter(|it| !it.is_empty());
    told.unwrap_or_else(|| {
        let foreign = "`eval \"$(cargo xtask foreign)\"` sets what those with foreign programs need";
        panic!("{name} is not set: run the tests by `cargo xtask test`; {foreign}")
    })
}
