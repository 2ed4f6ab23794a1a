#pragma once
// The control socket's questions about BGP, answered by a speaker: for margayd and margay-bgpd
// alike.

#include "felix/control_server.h"

#include <functional>

namespace margay::bgp {
class SpeakerControl;
}

namespace margay::felix {

// Asks for the speaker at each question; it lives until the answer. Null: BGP is off, or not there
// yet, and nothing is found.
void add_bgp_questions(const std::function<bgp::SpeakerControl*()>& find_speaker,
                       ControlBackend& backend);

}  // namespace margay::felix
