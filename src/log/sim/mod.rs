//! A disk in memory that fails as disks do, from one seed, and the log driven over it one step at a
//! time: no threads, no clock, so that a seed is a whole story that can be told again.

mod disk;
mod drive;
mod faults_test;
mod image;
mod torn_test;
mod trim_test;
