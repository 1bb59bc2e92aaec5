"""What a provider says when it says no: status and JSON body as OpenAI words them.

A client tells its troubles apart by status, `type`, `code` and sometimes the message alone, so these words
are the API. They follow public reports of OpenAI's real answers.
"""

import math
from dataclasses import dataclass, field

LEARN_MORE = "learn more here: https://platform.openai.com/docs/deprecations"
SEE_REFERENCE = "Please check the API reference: https://platform.openai.com/docs/api-reference."


@dataclass(eq=False)
class Refusal(Exception):  # an answer, not an error of ours
    """An answer other than 200, raised anywhere below a handler and written by it."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def wrong_key(key: str) -> Refusal:
    message = f"Incorrect API key provided: {key[:3]}***. This server lets in the key it was started with."
    return Refusal(401, message, code="invalid_api_key")


def unreadable_json() -> Refusal:
    return Refusal(400, "We could not parse the JSON body of your request.")


def invalid_input() -> Refusal:
    """No input, an empty one, too many, or not text."""
    return Refusal(400, f"'$.input' is invalid. {SEE_REFERENCE}")


def invalid_parameter(name: str, value: object, expected: str) -> Refusal:
    return Refusal(400, f"Invalid value for '{name}' = {value}. {expected}", param=name)


def missing_parameter(name: str) -> Refusal:
    return Refusal(
        400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def unsupported_value(name: str, value: object, only: str) -> Refusal:
    message = f"Invalid value: '{value}'. Supported values are: '{only}'."
    return Refusal(400, message, param=name, code="invalid_value")


def unknown_model(name: str) -> Refusal:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found")


def deprecated_model(name: str) -> Refusal:
    return Refusal(404, f"This model `{name}` has been deprecated, {LEARN_MORE}", code="model_not_found")


def too_long(tokens: int, limit: int) -> Refusal:
    return Refusal(
        400,
        f"This model's maximum context length is {limit} tokens, however you requested {tokens} tokens "
        f"({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
    )


def too_many_tokens(tokens: int, limit: int) -> Refusal:
    reason = "max_tokens_per_request"
    return Refusal(
        400, f"Requested {tokens} tokens, max {limit} tokens per request", type=reason, code=reason
    )


def rate_limited(
    model: str, kind: str, limit: int, used: int, asked: int, wait_seconds: float, headers: dict[str, str]
) -> Refusal:
    """Requests or tokens a minute are used up. The headers say for how long, in seconds and in milliseconds."""
    short = "RPM" if kind == "requests" else "TPM"
    wait_ms = math.ceil(wait_seconds * 1_000)
    message = (
        f"Rate limit reached for {model} on {kind} per min ({short}): Limit {limit}, Used {used}, "
        f"Requested {asked}. Please try again in {wait_ms}ms."
    )
    told = {**headers, "Retry-After": str(math.ceil(wait_seconds)), "Retry-After-Ms": str(wait_ms)}
    return Refusal(429, message, type=kind, code="rate_limit_exceeded", headers=told)


def refused_content() -> Refusal:
    """One of the inputs is not to the provider's taste. It does not say which."""
    return Refusal(400, "Your request was rejected as a result of our safety system.", code="content_filter")


def unknown_purpose(purpose: str, only: str) -> Refusal:
    return Refusal(400, f"'{purpose}' is not one of ['{only}'] - 'purpose'", param="purpose")


def wrong_format(suffix: str) -> Refusal:
    return Refusal(400, f"Invalid file format for Batch API. Must be {suffix}")


def too_large(size: int, limit: int) -> Refusal:
    return Refusal(
        413, f"The file of {size} bytes is too large: {limit} bytes are the maximum.", param="file"
    )


def unknown_file(file_id: str) -> Refusal:
    return Refusal(404, f"No such File object: {file_id}", param="id")


def unusable_file(file_id: str) -> Refusal:
    """Unknown, or not uploaded to be a job's input."""
    return Refusal(400, f"Invalid 'input_file_id': no file '{file_id}' for a batch.", param="input_file_id")


def unknown_job(job_id: str) -> Refusal:
    return Refusal(404, f"No batch found with id '{job_id}'.")


def job_has_ended(status: str) -> Refusal:
    return Refusal(409, f"Cannot cancel a batch with status '{status}'.")


def told_to_fail(status: int) -> Refusal:
    return Refusal(status, "The server was told to fail.", type="server_error")
