#include "app/serve_source.hpp"

#include <sys/resource.h>
#include <unistd.h>

namespace signalbox::app {
namespace {

namespace json = base::json;
using prometheus_text::Page;

json::object to_json(const EndpointView& endpoint, const ClusterFigures* cluster) {
    const ports::EndpointStats& stats = endpoint.stats;
    const bool writer = endpoint.config.role == routing::Role::Writer;
    const bool routed = cluster != nullptr && !cluster->held && !cluster->writer.empty();
    json::object object{{"name", stats.endpoint},
                        {"cluster", stats.cluster},
                        {"role", routing::to_string(endpoint.config.role)},
                        {"mode", routing::to_string(endpoint.config.mode)},
                        {"address", stats.address},
                        {"sessions", stats.sessions},
                        {"held", stats.held},
                        {"accepted", stats.accepted},
                        {"refused", stats.refused},
                        {"fenced", stats.fenced},
                        {"left_while_held", stats.left_while_held},
                        {"released", stats.released},
                        {"held_seconds", stats.held_seconds},
                        {"bytes_to_server", stats.bytes_to_server},
                        {"bytes_to_client", stats.bytes_to_client}};
    if (writer) {
        object["state"] = routed ? "routed" : "held";
        object["member"] = routed ? json::value(cluster->writer) : json::value(nullptr);
    } else {
        json::array members;
        for (const routing::ReaderTarget& target : endpoint.readers) {
            if (!target.draining) members.emplace_back(target.member);
        }
        object["state"] = members.empty() ? "held" : "routed";
        object["members"] = std::move(members);
    }
    if (!stats.note.empty()) object["note"] = stats.note;
    return object;
}

double as_double(std::uint64_t value) { return static_cast<double>(value); }

void add_clusters(Page& page, const Snapshot& snapshot) {
    for (const auto& [name, figures] : snapshot.figures) {
        const prometheus_text::Labels labels{{"cluster", name}};
        page.gauge("signalbox_cluster_epoch", "Active epoch, 0 before the first", labels, as_double(figures.epoch));
        page.gauge("signalbox_cluster_writer_known", "1 if traffic goes to a proven writer", labels,
                   !figures.held && !figures.writer.empty() ? 1 : 0);
        page.gauge("signalbox_cluster_alarms", "Alarms now", labels, as_double(figures.alarms));
        page.counter("signalbox_cluster_failovers_total", "Changes of the writer since the start", labels,
                     as_double(figures.failovers));
        for (const auto& [member, probes] : figures.probes) {
            const prometheus_text::Labels of_member{{"cluster", name}, {"member", member}};
            page.gauge("signalbox_member_writer", "1 for the member that traffic goes to", of_member,
                       !figures.held && figures.writer == member ? 1 : 0);
            page.gauge("signalbox_member_answers", "1 if the last probe got a whole answer", of_member,
                       probes.last_failure.empty() ? 1 : 0);
            page.histogram("signalbox_probe_seconds", "Duration of probes, failed ones included", of_member,
                           probes.latency_s);
            for (const auto& [kind, count] : probes.failures) {
                page.counter("signalbox_probe_failures_total", "Probes without a whole answer, by kind",
                             {{"cluster", name}, {"member", member}, {"kind", kind}}, as_double(count));
            }
        }
    }
}

void add_endpoint(Page& page, const ports::EndpointStats& stats) {
    const prometheus_text::Labels labels{{"endpoint", stats.endpoint}, {"cluster", stats.cluster}};
    page.gauge("signalbox_endpoint_sessions", "Client connections now, held ones included", labels,
               as_double(stats.sessions));
    page.gauge("signalbox_endpoint_held", "Client connections that wait for a writer now", labels,
               as_double(stats.held));
    page.counter("signalbox_endpoint_accepted_total", "Client connections", labels, as_double(stats.accepted));
    page.counter("signalbox_endpoint_refused_total", "Client connections that got an error in place of a greeting",
                 labels, as_double(stats.refused));
    page.counter("signalbox_endpoint_fenced_total", "Sessions ended because their epoch was over", labels,
                 as_double(stats.fenced));
    page.counter("signalbox_endpoint_released_total", "Held clients that got their writer", labels,
                 as_double(stats.released));
    page.counter("signalbox_endpoint_left_while_held_total", "Held clients that did not wait", labels,
                 as_double(stats.left_while_held));
    page.counter("signalbox_endpoint_held_seconds_total", "Time that clients spent held", labels, stats.held_seconds);
    page.counter("signalbox_endpoint_bytes_to_server_total", "Bytes relayed from clients", labels,
                 as_double(stats.bytes_to_server));
    page.counter("signalbox_endpoint_bytes_to_client_total", "Bytes relayed to clients", labels,
                 as_double(stats.bytes_to_client));
}

}  // namespace

json::object DaemonSource::status() {
    const auto snapshot = follower_.snapshot();
    json::array endpoints;
    for (const EndpointView& endpoint : follower_.endpoints()) {
        const auto cluster = snapshot->figures.find(endpoint.config.cluster);
        endpoints.push_back(to_json(endpoint, cluster == snapshot->figures.end() ? nullptr : &cluster->second));
    }
    for (const auto& [name, reason] : follower_.unopened()) {
        endpoints.push_back({{"name", name}, {"state", "not open"}, {"reason", reason}});
    }
    return {{"version", SIGNALBOX_VERSION},
            {"pid", ::getpid()},
            {"started_at", base::format_time(started_at_)},
            {"clusters", snapshot->clusters},
            {"endpoints", std::move(endpoints)},
            {"channels", channels_.status()}};
}

base::Result<bool> DaemonSource::event(const ports::ExternalEvent& event) {
    const auto unknown = [&] {
        return base::fail(base::ErrorKind::NotFound, "the daemon follows no cluster '{}'", event.cluster);
    };
    if (!follower_.snapshot()->figures.contains(event.cluster)) return unknown();
    {
        const auto now = base::MonoTime(std::chrono::steady_clock::now().time_since_epoch());
        const std::lock_guard guard(limit_mutex_);
        if (!limit_.allow(event.source, now)) return false;
    }
    if (!follower_.tell(event)) return unknown();
    return true;
}

base::Status DaemonSource::switchover(const ports::SwitchoverRequest& request) { return follower_.switchover(request); }

std::string DaemonSource::metrics() {
    Page page;
    page.gauge("signalbox_info", "1, with the version", {{"version", SIGNALBOX_VERSION}}, 1);
    page.gauge("signalbox_start_time_seconds", "When the daemon started, seconds since 1970", {},
               base::to_ms(started_at_.time_since_epoch()) / 1000);
    page.counter("signalbox_reloads_total", "Configurations taken over on SIGHUP", {}, as_double(reloads_));
    page.counter("signalbox_reloads_failed_total", "Configurations refused on SIGHUP", {}, as_double(reloads_failed_));
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        const auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        page.counter("process_cpu_seconds_total", "Processor time of the daemon", {},
                     seconds(usage.ru_utime) + seconds(usage.ru_stime));
    }
    add_clusters(page, *follower_.snapshot());
    for (const EndpointView& endpoint : follower_.endpoints()) add_endpoint(page, endpoint.stats);
    channels_.add_metrics(page);
    if (TableWatcher* tables = tables_.load()) tables->add_metrics(page);
    if (Outputs* outputs = outputs_.load()) outputs->add_metrics(page);
    return page.render();
}

}  // namespace signalbox::app
