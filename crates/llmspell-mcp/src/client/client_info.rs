//! The handshake data of the client.

use rmcp::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};

/// The client's name and version. It declares no capabilities, so that no server can ask for a model (sampling), a user
/// (elicitation) or folders (roots).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientInfo;

impl ClientHandler for ClientInfo {
    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("llmspell", env!("CARGO_PKG_VERSION"));
        // The last version that begins with a handshake, which servers of an unknown version expect.
        let version = ProtocolVersion::V_2025_11_25;
        ClientConfig::new(ClientCapabilities::default(), name).with_protocol_version(version)
    }
}
