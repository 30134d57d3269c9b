//! Protobuf messages of a type that a file of descriptors describes.

use prost_reflect::{MessageDescriptor, prost::Message};
use qd_logs_model::Value;
use vrl::protobuf::{
    descriptor::get_message_descriptor,
    encode::{Options, encode_message},
};

use crate::decode::ProtobufOptions;

/// One message type.
#[derive(Debug)]
pub(super) struct Protobuf {
    descriptor: MessageDescriptor,
    options: Options,
}

impl Protobuf {
    /// Reads the file of descriptors.
    pub(super) fn load(options: &ProtobufOptions) -> Result<Protobuf, String> {
        Ok(Protobuf {
            descriptor: get_message_descriptor(&options.desc_file, &options.message_type)?,
            options: Options {
                use_json_names: options.use_json_names,
                ..Options::default()
            },
        })
    }

    pub(super) fn write(&self, event: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let message = encode_message(&self.descriptor, event.clone(), &self.options)?;
        message.encode(out).map_err(|e| e.to_string())
    }
}
