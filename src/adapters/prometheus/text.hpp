#pragma once
// Figures in Prometheus's text format, by prometheus-cpp's own serialiser. Values in, text out; no registry: the
// figures live where they are counted.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace signalbox::prometheus_text {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Counts of values at most as large as each bound, not yet cumulated; one more count than bounds, for the rest.
struct Histogram {
    std::vector<double> bounds;  // ascending
    std::vector<std::uint64_t> counts;
    double sum = 0;
    explicit Histogram(std::vector<double> bounds_ = {}) : bounds(std::move(bounds_)), counts(bounds.size() + 1, 0) {}
    void observe(double value);
};

class Page {
  public:
    // Samples of one name follow each other; the first gives the help text. Counters' names end in _total.
    void counter(const std::string& name, const std::string& help, const Labels& labels, double value);
    void gauge(const std::string& name, const std::string& help, const Labels& labels, double value);
    void histogram(const std::string& name, const std::string& help, const Labels& labels, const Histogram& value);
    std::string render() const;

    Page();
    ~Page();
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

  private:
    struct Families;
    std::unique_ptr<Families> families_;
};

}  // namespace signalbox::prometheus_text
