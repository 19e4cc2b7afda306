// Streams and events. By default all work runs at once, in the order of the calls. A GPU may run what is on different
// streams in any order that events allow; EMULATOR_STREAMS has the two extremes:
//
//   others-late    work of every stream but a device's default one waits until something depends on it
//   default-late   work of the default streams waits until something depends on it
//
// cudarc's streams do not wait for the default stream by themselves (CU_STREAM_NON_BLOCKING), so events are all there is.
#include "emulator.h"
#include <deque>
#include <map>
#include <set>

namespace emulator {
struct Stream {
  bool standard = false;
  std::deque<std::function<void()>> work;
  uint64_t done = 0;  // how much has run
  uint64_t said = 0;  // how much there is
};
struct Event { Stream *stream = nullptr; uint64_t upto = 0; };
}  // namespace emulator
using namespace emulator;

std::recursive_mutex emulator::everything;

namespace {
auto &streams = *new std::set<Stream *>;

Stream *create(bool standard) {
  auto *stream = new Stream{standard, {}, 0, 0};
  streams.insert(stream);
  return stream;
}

// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD are 1 and 2.
Stream *resolve(Stream *stream) {
  static auto &standard = *new std::map<int, Stream *>;
  if ((uintptr_t)stream > 2) return stream;
  Stream *&found = standard[device()];
  if (!found) found = create(true);
  return found;
}

void run_until(Stream *stream, uint64_t upto) {
  while (stream->done < upto) {
    auto work = std::move(stream->work.front());
    stream->work.pop_front();
    stream->done++;
    work();
  }
}

bool late(const Stream *stream) {
  static const std::string which = setting("EMULATOR_STREAMS");
  return which == "default-late" ? stream->standard : which == "others-late" && !stream->standard;
}
}  // namespace

void emulator::enqueue(Stream *stream, std::function<void()> work) {
  stream = resolve(stream);
  stream->work.push_back(std::move(work));
  stream->said++;
  if (!late(stream)) run_until(stream, stream->said);
}

void emulator::finish(Stream *stream) {
  stream = resolve(stream);
  run_until(stream, stream->said);
}

void emulator::finish_all() {
  for (Stream *stream : streams) finish(stream);
}

extern "C" {
int cuStreamCreate(Stream **out, unsigned) {
  EMULATOR_LOCK;
  *out = create(false);
  return OK;
}
int cuStreamDestroy_v2(Stream *stream) {
  EMULATOR_LOCK;
  finish(stream);
  // It stays, for events that refer to it: all that it had is done.
  streams.erase(stream);
  return OK;
}
int cuStreamSynchronize(Stream *stream) {
  EMULATOR_LOCK;
  count(SYNCHRONISATION, "stream");
  finish(stream);
  return OK;
}
int cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
  EMULATOR_LOCK;
  if (Event at = *event; at.stream) enqueue(stream, [=] { run_until(at.stream, at.upto); });
  return OK;
}
int cuEventCreate(Event **out, unsigned) { *out = new Event; return OK; }
int cuEventDestroy_v2(Event *event) { delete event; return OK; }
int cuEventRecord(Event *event, Stream *stream) {
  EMULATOR_LOCK;
  *event = {resolve(stream), resolve(stream)->said};
  return OK;
}
int cuEventElapsedTime(float *out, Event *, Event *) { *out = 0; return OK; }
int cuCtxSynchronize() {
  EMULATOR_LOCK;
  count(SYNCHRONISATION, "context");
  finish_all();
  return OK;
}
}
