#include "app/meter_report.hpp"

#include <algorithm>

#include "app/meter_picture.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::Duration;
using base::MonoTime;
using meter::Analysis;
using meter::Fault;
using meter::GroupResult;
using meter::LedgerCheck;
using meter::Phase;
using meter::Recovery;

constexpr std::size_t faults_max = 5;  // pictures of single faults: bounds the size of the page

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --bg:#fbfbfc; --card:#ffffff; --edge:#dfe3e8; --text:#1b2430; --dim:#5d6875; --grid:#e6e9ed;
  --none:#eef0f3; --ok:#57b583; --waited:#b7dfc6; --refused:#e3ad2f; --reader:#d9dbc9; --failed:#d64545; --unknown:#8857d8; --phase:#5b83b8;
  --outage:#37465a; --fault:#b3261e; --good:#1d7a48; --bad:#b3261e; --onbar:#ffffff; }
@media (prefers-color-scheme: dark) { :root { --bg:#11151b; --card:#181e26; --edge:#2d3642; --text:#e4e8ee; --dim:#98a3b1;
  --grid:#262e38; --none:#212832; --ok:#3f9c6b; --waited:#24553c; --refused:#c9962a; --reader:#3a3f38; --failed:#dd5757; --unknown:#a27be8;
  --phase:#5f8cc6; --outage:#aab6c6; --fault:#ff7a70; --good:#5cc98f; --bad:#ff7a70; --onbar:#11151b; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--bg); color:var(--text); font:15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width:1200px; margin:0 auto; padding:28px 20px 48px; }
h1 { font-size:24px; margin:0 0 4px; } h2 { font-size:17px; margin:32px 0 10px; } p { margin:4px 0; }
.dim { color:var(--dim); }
.verdict { font-size:17px; font-weight:600; margin:16px 0 0; } .good { color:var(--good); } .bad { color:var(--bad); }
.cards { display:flex; flex-wrap:wrap; gap:12px; margin:16px 0 0; }
.card { background:var(--card); border:1px solid var(--edge); border-radius:8px; padding:10px 16px; min-width:150px; }
.card b { display:block; font-size:22px; font-weight:600; font-variant-numeric:tabular-nums; } .card span { color:var(--dim); font-size:13px; }
figure { background:var(--card); border:1px solid var(--edge); border-radius:8px; margin:0; padding:12px 8px 8px; overflow-x:auto; }
figure svg { display:block; width:100%; min-width:820px; height:auto; }
.legend { display:flex; flex-wrap:wrap; gap:6px 20px; padding:8px 10px 2px; color:var(--dim); font-size:13px; }
.legend i { display:inline-block; width:14px; height:10px; border-radius:2px; margin-right:6px; }
svg text { fill:var(--text); font-family:system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
svg .axis, svg .small { fill:var(--dim); font-size:11px; } svg .name { font-size:14px; font-weight:600; } svg .row { font-size:12px; }
svg .section { font-size:13px; font-weight:600; } svg .onbar { fill:var(--onbar); font-size:11px; }
svg .grid { stroke:var(--grid); } svg .fault { stroke:var(--fault); stroke-width:1.5; stroke-dasharray:4 3; }
svg .none { fill:var(--none); } svg .ok { fill:var(--ok); } svg .waited { fill:var(--waited); } svg .refused { fill:var(--refused); }
svg .reader { fill:var(--reader); }
svg .failed { fill:var(--failed); } svg .unknown { fill:var(--unknown); } svg .phase { fill:var(--phase); } svg .outage { fill:var(--outage); }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; background:var(--card); border:1px solid var(--edge); border-radius:8px; font-size:14px; }
th, td { text-align:left; padding:6px 14px; border-top:1px solid var(--grid); } thead th { border-top:0; color:var(--dim); font-weight:600; font-size:13px; }
.num { text-align:right; font-variant-numeric:tabular-nums; }
)";

class Page {
  public:
    template <typename... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        html += fmt::format(format, std::forward<Args>(args)...);
    }
    // `numeric` says, per column, whether it holds numbers.
    void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
               const std::vector<bool>& numeric) {
        const auto cells = [&](std::string_view tag, const std::vector<std::string>& texts) {
            html += "<tr>";
            for (std::size_t i = 0; i < texts.size(); ++i) {
                add("<{0}{1}>{2}</{0}>", tag, numeric[i] ? " class=\"num\"" : "", escape_html(texts[i]));
            }
            html += "</tr>\n";
        };
        html += "<div class=\"scroll\"><table><thead>";
        cells("th", header);
        html += "</thead><tbody>\n";
        for (const auto& row : rows) cells("td", row);
        html += "</tbody></table></div>\n";
    }
    void card(const std::string& number, const std::string& what) {
        add("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escape_html(number), escape_html(what));
    }
    std::string html;
};

std::string ms_text(Duration duration) { return fmt::format("{:.1f}", base::to_ms(duration)); }

std::vector<PictureRow> picture_rows(const Measurement& measurement, const Fault& fault) {
    std::vector<PictureRow> rows;
    const MonoTime ended = measurement.recording.ended_at;
    const auto add_outage = [&](std::string_view name, const GroupResult& group,
                                const std::optional<meter::Outage>& outage) {
        if (!outage) return;
        rows.push_back(PictureRow{std::string(name), group.name, outage->start, outage->end.value_or(ended),
                                  !outage->end.has_value(), true});
    };
    for (const GroupResult& group : fault.groups) add_outage("write outage", group, group.write_outage);
    for (const GroupResult& group : fault.groups) add_outage("read outage", group, group.read_outage);
    for (const Phase& phase : fault.phases) {
        if (!phase.start) continue;
        // A reader that refuses writes for good is no phase of the failover any more.
        if (phase.member && !phase.end && phase.name == meter::phase_name::refused_read_only) continue;
        rows.push_back(PictureRow{phase.name, phase.path, *phase.start, phase.end.value_or(ended), !phase.end, false});
    }
    return rows;
}

// The stretch around these rows, with some calm on both sides.
void frame_rows(PictureFrame& frame, const std::vector<PictureRow>& rows, const meter::Recording& recording) {
    MonoTime from = frame.zero;
    MonoTime to = frame.zero + std::chrono::milliseconds(100);
    for (const PictureRow& row : rows) {
        from = std::min(from, row.from);
        to = std::max(to, row.to);
    }
    const Duration margin = std::max<Duration>((to - from) / 8, std::chrono::milliseconds(50));
    frame.from = std::max(from - margin, recording.started_at);
    frame.to = std::min(to + margin, recording.ended_at);
    if (frame.to <= frame.from) frame.to = frame.from + std::chrono::milliseconds(1);
}

std::vector<std::string> lane_notes(const Measurement& measurement, const Fault* fault) {
    std::vector<std::string> notes;
    for (const meter::PathInfo& path : measurement.recording.paths) {
        std::string note = path.member ? "member" : (path.writes ? "writer endpoint" : "reader endpoint");
        if (fault != nullptr && path.member) {
            const bool was = path.name == fault->old_writer;
            const bool is = path.name == fault->new_writer;
            if (was) note = is ? "writer, before and after" : "writer before";
            if (is && !was) note = "writer after";
        }
        notes.push_back(note);
    }
    return notes;
}

void add_legend(Page& page) {
    page.html += "<div class=\"legend\">";
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> entries{
        {{"ok", "ok"},
         {"waited", "ok after a wait"},
         {"refused", "refused as read-only"},
         {"reader", "a reader, refuses writes"},
         {"failed", "failed"},
         {"unknown", "outcome unknown"},
         {"outage", "outage"},
         {"phase", "phase"}}};
    for (const auto& [name, text] : entries) {
        page.add("<span><i style=\"background:var(--{})\"></i>{}</span>", name, text);
    }
    page.html += "</div>\n";
}

void add_picture(Page& page, const Measurement& measurement, const PictureFrame& frame,
                 const std::vector<PictureRow>& rows) {
    page.html += "<figure>\n" + picture_svg(measurement, frame, rows);
    add_legend(page);
    page.html += "</figure>\n";
}

void add_fault_pictures(Page& page, const Measurement& measurement, const Fault& fault, std::size_t index) {
    const std::vector<PictureRow> rows = picture_rows(measurement, fault);
    std::vector<PictureRow> outages;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(outages),
                 [](const PictureRow& row) { return row.outage && !row.open && row.name == "write outage"; });
    PictureFrame frame;
    frame.zero = fault.at;
    frame.has_fault = true;
    frame.lane_notes = lane_notes(measurement, &fault);
    frame.id = fmt::format("fault-{}", index);
    frame.caption = "What each path saw around the write outage";
    frame_rows(frame, outages, measurement.recording);
    const Duration near = frame.to - frame.from;
    page.add("<h2>The write outage</h2>\n");
    add_picture(page, measurement, frame, rows);
    PictureFrame whole = frame;
    frame_rows(whole, rows, measurement.recording);
    // A second picture only if it shows clearly more.
    if (whole.to - whole.from < near + near / 2) return;
    whole.id = fmt::format("fault-{}-whole", index);
    whole.caption = "All phases of the failover";
    page.add("<h2>All phases</h2>\n");
    add_picture(page, measurement, whole, rows);
}

void add_phases(Page& page, const Fault& fault) {
    std::vector<std::vector<std::string>> rows;
    for (const Phase& phase : fault.phases) {
        rows.push_back({phase.name, phase.path.empty() ? "cluster" : phase.path,
                        phase.start ? offset_text(*phase.start, fault.at) : "",
                        phase.end ? offset_text(*phase.end, fault.at) : "",
                        phase.start && phase.end ? ms_text(*phase.end - *phase.start) : "",
                        phase.note.empty() && phase.start && !phase.end ? "had not ended" : phase.note});
    }
    const auto outage = [&](std::string name, const GroupResult& group, Recovery state,
                            const std::optional<meter::Outage>& seen) {
        rows.push_back(
            {std::move(name), group.name, seen ? offset_text(seen->start, fault.at) : "",
             seen && seen->end ? offset_text(*seen->end, fault.at) : "",
             seen && seen->end ? ms_text(*seen->end - seen->start) : (state == Recovery::NoOutage ? "0" : ""),
             seen && seen->end ? "" : (state == Recovery::NoOutage ? "no outage seen" : outage_text(state, seen))});
    };
    for (const GroupResult& group : fault.groups) {
        if (group.writes) outage("write outage", group, group.write_state, group.write_outage);
    }
    for (const GroupResult& group : fault.groups) outage("read outage", group, group.read_state, group.read_outage);
    for (const GroupResult& group : fault.groups) {
        if (!group.excess) continue;
        rows.push_back({"excess over direct", group.name, "", offset_text(*group.first_good_write, fault.at),
                        ms_text(*group.excess), "first good write by the new writer"});
    }
    page.add("<h2>Phases and outages, in ms after the fault</h2>\n");
    page.table({"phase", "path", "start", "end", "ms", "note"}, rows, {false, false, true, true, true, false});
}

void add_ledger(Page& page, const Measurement& measurement) {
    const LedgerCheck& ledger = measurement.ledger;
    const auto known = [&](std::uint64_t count) { return ledger.resolved ? fmt::format("{}", count) : "not known"; };
    page.add("<h2>The ledger of writes</h2>\n");
    page.table({"writes", "count", "meaning"},
               {{"attempted", fmt::format("{}", ledger.attempted), "statements that were sent"},
                {"acknowledged", fmt::format("{}", ledger.acknowledged), "the server said that they are done"},
                {"lost", known(ledger.lost), "acknowledged, and not there afterwards"},
                {"there twice", known(ledger.duplicated), "executed more than once"},
                {"failed", fmt::format("{}", ledger.failed), "refused, so not done"},
                {"unknown", fmt::format("{}", ledger.unknown), "sent, and no answer came"},
                {"unknown, happened", known(ledger.unknown_happened), "found in the ledger"},
                {"unknown, did not happen", known(ledger.unknown_did_not_happen), "not in the ledger"},
                {"rolled back", known(ledger.rolled_back), "never acknowledged, was seen on a member, and is gone"}},
               {false, true, false});
    for (const auto& member : ledger.differences) {
        page.add("<p>{} differs from the writer: {} rows missing, {} rows that should not be there.</p>\n",
                 escape_html(member.member), member.missing, member.extra);
    }
    for (const std::string& unread : ledger.unread)
        page.add("<p>Could not be read back: {}</p>\n", escape_html(unread));
}

void add_paths(Page& page, const Measurement& measurement) {
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 0; i < measurement.recording.paths.size(); ++i) {
        const meter::PathResult& path = measurement.analysis.paths[i];
        std::uint64_t ok = 0;
        std::uint64_t failed = 0;
        std::uint64_t unknown = 0;
        for (const auto& [kind, counts] : path.counts) {
            ok += counts.ok;
            failed += counts.failed;
            unknown += counts.unknown;
        }
        std::vector<std::string> errors;
        for (const auto& [code, count] : path.errors) errors.push_back(fmt::format("{} × {}", code, count));
        rows.push_back({measurement.recording.paths[i].name, fmt::format("{}", ok), fmt::format("{}", failed),
                        fmt::format("{}", unknown), fmt::format("{:.2f}", path.write_ms_p50),
                        fmt::format("{:.2f}", path.write_ms_p99), base::join(errors, ", ")});
    }
    page.add("<h2>Operations and error codes</h2>\n");
    page.table({"path", "ok", "failed", "unknown", "write p50 ms", "write p99 ms", "error codes"}, rows,
               {false, true, true, true, true, true, false});
    page.add(
        "<p class=\"dim\">Errors of the meter's own or in calm: {}. Latest wake-up of a worker: {:.1f} ms; ticks "
        "skipped "
        "because an operation was still under way: {}.</p>\n",
        measurement.analysis.own_errors, base::to_ms(measurement.recording.lag_max),
        measurement.recording.ticks_skipped);
}

void add_summary(Page& page, const Measurement& measurement) {
    const LedgerCheck& ledger = measurement.ledger;
    const bool good = ledger.resolved && ledger.lost + ledger.duplicated == 0;
    page.add("<p class=\"verdict {}\">{}</p>\n", good ? "good" : "bad", escape_html(ledger_verdict(ledger)));
    page.html += "<div class=\"cards\">\n";
    const auto& groups =
        measurement.analysis.faults.empty() ? measurement.analysis.calm : measurement.analysis.faults.front().groups;
    for (const GroupResult& group : groups) {
        if (group.writes) page.card(outage_text(group.write_state, group.write_outage), "write outage, " + group.name);
    }
    for (const GroupResult& group : groups) {
        if (group.excess) page.card(ms_text(*group.excess) + " ms", "excess over direct, " + group.name);
    }
    page.card(fmt::format("{}", ledger.acknowledged), "acknowledged writes");
    page.card(ledger.resolved ? fmt::format("{}", ledger.lost) : "?", "of them lost");
    page.card(fmt::format("{}", ledger.unknown), "unknown outcomes");
    page.html += "</div>\n";
}

}  // namespace

std::string measurement_html(const Measurement& measurement) {
    const meter::Recording& recording = measurement.recording;
    const Analysis& analysis = measurement.analysis;
    Page page;
    page.add(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\"><title>Signalbox: downtime measured</title>\n<style>{}</style>"
        "</head><body><main>\n<h1>Downtime, as clients saw it</h1>\n",
        style);
    page.add("<p class=\"dim\">{}, {:.1f} s, {} operations on {} paths, one each {} per worker</p>\n",
             base::format_time(recording.started_at_wall),
             base::to_ms(recording.ended_at - recording.started_at) / 1000, recording.samples.size(),
             recording.paths.size(), base::format_duration(recording.interval));
    add_summary(page, measurement);
    for (std::size_t i = 0; i < std::min(analysis.faults.size(), faults_max); ++i) {
        const Fault& fault = analysis.faults[i];
        const auto wall = recording.started_at_wall + (fault.at - recording.started_at);
        page.add(
            "<p style=\"margin-top:20px\">Fault at <b>{}</b> ({}). Writer before: <b>{}</b>, after: <b>{}</b>.</p>\n",
            base::format_time(wall), fault.given ? "as given" : "the first failed write",
            escape_html(fault.old_writer.empty() ? "not known" : fault.old_writer),
            escape_html(fault.new_writer.empty() ? "not known" : fault.new_writer));
        add_fault_pictures(page, measurement, fault, i);
        add_phases(page, fault);
    }
    if (analysis.faults.size() != 1) {
        PictureFrame frame;
        frame.from = frame.zero = recording.started_at;
        frame.to = std::max(recording.ended_at, recording.started_at + std::chrono::milliseconds(1));
        frame.id = "run";
        frame.caption = "The whole measurement";
        frame.lane_notes = lane_notes(measurement, nullptr);
        page.add("<h2>The whole measurement{}</h2>\n", analysis.faults.empty() ? ": no outage seen" : "");
        add_picture(page, measurement, frame, {});
    }
    add_ledger(page, measurement);
    add_paths(page, measurement);
    page.html += "</main></body></html>\n";
    return page.html;
}

}  // namespace signalbox::app
