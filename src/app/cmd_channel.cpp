#include "app/cmd_channel.hpp"

#include "app/client_api.hpp"
#include "app/report.hpp"
#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr auto request_timeout = std::chrono::seconds(5);

struct ChannelOptions {
    ApiOptions api;
    std::string name;
};

std::string field(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || value->is_null()) return "-";
    if (value->is_string()) return value->get_string().empty() ? "-" : std::string(value->get_string());
    if (value->is_bool()) return value->get_bool() ? "yes" : "no";
    if (value->is_double()) return fmt::format("{:.0f}", value->get_double());
    return json::serialize(*value);
}

json::array objects(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_array() ? value->get_array() : json::array();
}

// Where the stream is: a replica's address, or a slot with its writer.
std::string place(const json::object& channel) {
    return field(channel, "kind") == "slot" ? "slot " + field(channel, "slot") : field(channel, "address");
}

std::string render(const json::array& channels) {
    base::TableText table({"CHANNEL", "CLUSTER", "STREAM", "STATE", "WRITER", "EPOCH", "RESUMED_MS", "RESTARTS"});
    std::string alarms;
    for (const auto& item : channels) {
        const auto& channel = item.as_object();
        const std::string name = field(channel, "name");
        table.row({name, field(channel, "cluster"), place(channel), field(channel, "state"), field(channel, "writer"),
                   field(channel, "epoch"), field(channel, "last_resume_ms"), field(channel, "restarts")});
        for (const auto& element : objects(channel, "alarms")) {
            const auto& alarm = element.as_object();
            alarms += fmt::format("alarm: {}: {}: {} (since {})\n", name, field(alarm, "kind"), field(alarm, "text"),
                                  field(alarm, "since"));
        }
    }
    return table.render() + (alarms.empty() ? "" : "\n" + alarms);
}

base::Result<bool> status(const ChannelOptions& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    SB_TRY(const json::value answer, http::Client(access.url, access.token).get("/v1/status", request_timeout));
    if (!answer.is_object()) return fail(ErrorKind::CorruptData, "the daemon's answer is no object");
    json::array channels;
    std::vector<std::string> names;
    bool good = true;
    for (const auto& item : objects(answer.get_object(), "channels")) {
        if (!item.is_object()) return fail(ErrorKind::CorruptData, "the daemon's list of channels holds no objects");
        const auto& channel = item.get_object();
        names.push_back(field(channel, "name"));
        if (!options.name.empty() && names.back() != options.name) continue;
        good = good && field(channel, "state") == "following" && objects(channel, "alarms").empty();
        channels.push_back(item);
    }
    if (!options.name.empty() && channels.empty()) {
        return fail(ErrorKind::NotFound, "the daemon watches no channel '{}'; it watches {}", options.name,
                    names.empty() ? "none" : base::join(names, ", "));
    }
    if (options.api.output == "json") {
        print(base::pretty_json({{"channels", channels}}));
    } else {
        print(render(channels));
    }
    return good;
}

base::Status acknowledge(const ChannelOptions& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    SB_TRY(const json::value answer,
           http::Client(access.url, access.token)
               .call("POST", "/v1/channels/" + options.name + "/acknowledge", json::object(), request_timeout));
    if (options.api.output == "json") {
        print(base::pretty_json(answer));
    } else {
        print(fmt::format("channel {}: what was lost is acknowledged\n", options.name));
    }
    return {};
}

}  // namespace

void register_channel(CLI::App& app, int& exit_status) {
    auto* channel = app.add_subcommand("channel", "Replicas and slots that read from the clusters");
    channel->require_subcommand(1);
    auto options = std::make_shared<ChannelOptions>();
    auto* command = channel->add_subcommand("status", "Does each of them read from the writer, and what is wrong");
    command->footer("Ends with 0 if every channel shown reads and has no alarm, with 1 if not.");
    command->add_option("NAME", options->name, "Only this channel");
    add_api_options(*command, options->api);
    command->callback([options, &exit_status] {
        const auto good = status(*options);
        exit_status = good ? (*good ? 0 : 1) : report(good.error());
    });
    auto noted = std::make_shared<ChannelOptions>();
    auto* note = channel->add_subcommand("acknowledge", "Ends the alarms about what a channel has lost");
    note->footer("slot-recreated, and channel-diverged of a slot, stay until somebody has mended what they name.");
    note->add_option("NAME", noted->name, "The channel")->required();
    add_api_options(*note, noted->api);
    note->callback([noted, &exit_status] {
        const auto done = acknowledge(*noted);
        exit_status = done ? 0 : report(done.error());
    });
}

}  // namespace signalbox::app
