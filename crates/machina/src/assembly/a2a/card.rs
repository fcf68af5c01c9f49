//! An agent's card: who it is, what it does, how it is reached and paid.

use ::a2a::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill,
    TRANSPORT_PROTOCOL_JSONRPC,
};
use money::Amount;

use super::{Skill, path};

/// The card of the agent of this skill at the economy's address `base`, for this price if it sells.
pub fn of(base: &str, skill: &Skill, about: &str, price: Option<Amount>) -> AgentCard {
    let extension = |uri: &str| AgentExtension {
        uri: uri.into(),
        description: Some("Work is paid by x402; a task tells its price.".into()),
        // A client that knows nothing of it is told the price in words.
        required: Some(false),
        params: None,
    };
    AgentCard {
        name: skill.machine.clone(),
        description: about.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        supported_interfaces: vec![AgentInterface::new(
            format!("{base}{}", path(&skill.machine)),
            TRANSPORT_PROTOCOL_JSONRPC,
        )],
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extensions: price.map(|_| payments::a2a::EXTENSIONS.map(extension).to_vec()),
            extended_agent_card: Some(false),
        },
        default_input_modes: skill.takes.clone(),
        default_output_modes: skill.gives.clone(),
        skills: vec![AgentSkill {
            id: skill.id.clone(),
            name: skill.title.clone(),
            description: price
                .map_or_else(|| about.into(), |price| format!("{about} It costs {price}.")),
            tags: skill.tags.clone(),
            examples: None,
            input_modes: None,
            output_modes: None,
            security_requirements: None,
        }],
        provider: Some(AgentProvider { organization: "Machina".into(), url: base.into() }),
        documentation_url: Some(format!("{base}{}", skill.page)),
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}
