//! What the proxy counts and tells: metrics, histograms, traces, access records, HAR, filters over flows.
