//! Sources and sinks of this machine: files, pipes, sockets, journals, processes.
