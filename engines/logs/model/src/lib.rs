//! What flows through a log pipeline, and what its components are.
