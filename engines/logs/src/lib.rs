//! The log pipeline: topology, buffers, acknowledgements, reload, and the engine that runs it.
