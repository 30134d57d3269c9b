//! Protobuf messages of a type that a file of descriptors describes.

use prost_reflect::{DynamicMessage, MessageDescriptor};
use vrl::protobuf::{
    descriptor::get_message_descriptor,
    parse::{Options, proto_to_value},
};

use super::{Parsed, config::ProtobufOptions};

/// One message type.
#[derive(Debug, Clone)]
pub(super) struct Protobuf {
    descriptor: MessageDescriptor,
    use_json_names: bool,
}

impl Protobuf {
    /// Reads the file of descriptors.
    pub(super) fn load(options: &ProtobufOptions) -> Result<Protobuf, String> {
        Ok(Protobuf {
            descriptor: get_message_descriptor(&options.desc_file, &options.message_type)?,
            use_json_names: options.use_json_names,
        })
    }

    pub(super) fn parse(&self, frame: &[u8], out: &mut Parsed) -> Result<(), String> {
        let message = DynamicMessage::decode(self.descriptor.clone(), frame).map_err(|e| e.to_string())?;
        let value = proto_to_value(
            &prost_reflect::Value::Message(message),
            None,
            &Options {
                use_json_names: self.use_json_names,
            },
        )?;
        out.log(value);
        Ok(())
    }
}
