//! VRL and the transforms.
