//! Configuration of the proxy: listeners, clusters and routes in the shape of the Gateway API, and the router.
