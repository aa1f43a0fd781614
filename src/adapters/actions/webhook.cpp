#include "adapters/actions/webhook.hpp"

#include "adapters/actions/message.hpp"
#include "adapters/actions/signature.hpp"
#include "adapters/http/client.hpp"

namespace signalbox::actions {
namespace {

using ports::ActionOutcome;
using ports::ActionVerdict;

constexpr std::size_t answer_max_bytes = 64 * 1024;
constexpr std::size_t answer_shown_max = 200;

bool is_for_later(unsigned status) { return status == 408 || status == 425 || status == 429 || status >= 500; }

}  // namespace

base::Result<ActionOutcome> Webhook::run(const ports::ActionRequest& request) {
    SB_TRY(const auto where, http::split_url(action_.url));
    const auto& [server, target] = where;
    const std::string body = base::json::serialize(message_of(request));
    if (request.dry_run)
        return ActionOutcome{ActionVerdict::Done, fmt::format("would POST {} bytes to {}", body.size(), server)};
    http::Question call;
    call.method = "POST";
    call.target = target;
    call.body = body;
    call.body_max_bytes = answer_max_bytes;
    call.headers = {{"User-Agent", "signalbox"}, {"X-Signalbox-Id", request.id}};
    if (!action_.secret.empty())
        call.headers.emplace_back("X-Signalbox-Signature", signature_of(action_.secret, clock_(), body));
    const auto reply = http::Client(server, {}, {action_.tls_ca_file, false}).ask(call, action_.deadline);
    if (!reply) {
        // Also when it was sent and no answer came: the receiver knows a repetition by its id.
        return ActionOutcome{ActionVerdict::Retry, reply.error().text()};
    }
    std::string text = fmt::format("{}: HTTP status {}", server, reply->status);
    if (reply->status >= 200 && reply->status < 300) return ActionOutcome{ActionVerdict::Done, std::move(text)};
    if (const auto said = one_line(reply->body, answer_shown_max); !said.empty()) text += ": " + said;
    if (!is_for_later(reply->status)) return ActionOutcome{ActionVerdict::Refused, std::move(text)};
    ActionOutcome outcome{ActionVerdict::Retry, std::move(text)};
    if (const auto after = reply->headers.find("retry-after"); after != reply->headers.end())
        outcome.after = http::parse_retry_after(after->second, clock_());
    return outcome;
}

}  // namespace signalbox::actions
