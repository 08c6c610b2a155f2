//! Real servers for the tests: each on a free loopback port, awaited until ready, ended by its own handle.
