//! Bodies as people read them: JSON, forms, multipart, protobuf, msgpack, text, hex; decoded and bounded.
