//! `/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}`: one attempt of a message.

pub(crate) mod content_delete;
pub(crate) mod get;
