#include "app/cmd_journal.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <filesystem>
#include <thread>

#include "adapters/sqlite/journal.hpp"
#include "api/api.hpp"
#include "app/client_api.hpp"
#include "app/report.hpp"
#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr auto request_timeout = std::chrono::seconds(5);
constexpr auto follow_interval = std::chrono::milliseconds(300);
constexpr std::size_t follow_limit = 1000;

struct JournalOptions {
    ApiOptions api;
    ports::JournalQuery query;
    bool follow = false;
};

std::string encoded(const std::string& text) { return boost::urls::encode(text, boost::urls::unreserved_chars); }

base::Result<json::array> read_from_api(const http::Client& client, const ports::JournalQuery& query) {
    std::string target = fmt::format("/v1/journal?after={}&limit={}&order={}", query.after, query.limit,
                                     query.newest_first ? "newest" : "oldest");
    if (!query.subject.empty()) target += "&subject=" + encoded(query.subject);
    if (!query.kind.empty()) target += "&kind=" + encoded(query.kind);
    SB_TRY(const json::value answer, client.get(target, request_timeout));
    const auto* items = answer.is_object() ? answer.get_object().if_contains("items") : nullptr;
    if (items == nullptr || !items->is_array()) return fail(ErrorKind::CorruptData, "the daemon's answer has no items");
    return items->get_array();
}

base::Result<json::array> read_from_store(const std::string& path, const ports::JournalQuery& query) {
    // Opening would make the file.
    if (!std::filesystem::exists(path)) return fail(ErrorKind::NotFound, "{}: there is no such store", path);
    SB_TRY(auto database, sqlite::Database::open(path));
    SB_TRY(const auto store, sqlite::JournalStore::open(std::move(database)));
    SB_TRY(const auto entries, store->read(query));
    json::array items;
    for (const auto& entry : entries) items.push_back(api::to_json(entry));
    return items;
}

std::string field(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr) return "";
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

void show(const json::array& items, const std::string& output, bool header) {
    if (output == "json") {
        for (const auto& item : items) print(json::serialize(item) + "\n");
        return;
    }
    base::TableText table({"SEQUENCE", "TIME", "SUBJECT", "KIND", "EPOCH", "RUN", "DATA"});
    for (const auto& item : items) {
        const auto& object = item.as_object();
        table.row({field(object, "sequence"), field(object, "at"), field(object, "subject"), field(object, "kind"),
                   field(object, "epoch"), field(object, "run"), field(object, "data")});
    }
    const std::string text = table.render();
    print(header ? text : text.substr(text.find('\n') + 1));
}

base::Status journal(JournalOptions options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    const http::Client client(access.url, access.token);
    bool from_api = !access.token.empty();
    const auto read = [&](const ports::JournalQuery& query) -> base::Result<json::array> {
        if (from_api) {
            auto items = read_from_api(client, query);
            const bool away = !items && items.error().kind == ErrorKind::Unavailable && !access.store.empty();
            if (!away) return items;
        }
        if (from_api || !options.follow)
            std::fprintf(stderr, "signalbox: the daemon does not answer on %s; reading the store %s\n",
                         access.url.c_str(), access.store.c_str());
        from_api = false;
        return read_from_store(access.store, query);
    };
    // The newest ones, unless a place to go on from was given; oldest first either way.
    options.query.newest_first = options.query.after == 0;
    SB_TRY(json::array items, read(options.query));
    if (options.query.newest_first) std::reverse(items.begin(), items.end());
    if (options.api.output == "json" && !options.follow) {
        print(base::pretty_json({{"items", std::move(items)}}));
        return {};
    }
    // With --follow, JSON is one object a line, so that a stream of them can be read as it comes.
    show(items, options.api.output, true);
    options.query.newest_first = false;
    options.query.limit = follow_limit;
    while (options.follow) {
        if (!items.empty()) options.query.after = items.back().at("sequence").to_number<std::int64_t>();
        std::this_thread::sleep_for(follow_interval);
        SB_TRY(items, read(options.query));
        if (!items.empty()) show(items, options.api.output, false);
    }
    return {};
}

}  // namespace

void register_journal(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<JournalOptions>();
    options->query.limit = 100;
    auto* command = app.add_subcommand("journal", "What was observed, decided and done, oldest first");
    add_api_options(*command, options->api);
    command->add_option("--subject", options->query.subject, "Only of this cluster, job or table");
    command->add_option("--kind", options->query.kind, "Only of this kind, as epoch-active");
    command->add_option("--after", options->query.after, "Only entries after this sequence number")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--limit", options->query.limit, "At most so many")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    command->add_flag("-f,--follow", options->follow, "Go on with new entries until interrupted");
    command->callback([options, &exit_status] {
        const auto status = journal(*options);
        exit_status = status ? 0 : report(status.error());
    });
}

}  // namespace signalbox::app
