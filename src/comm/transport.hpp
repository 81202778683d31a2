// Byte strings of any length between ranks, in bounded pieces.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "channel.hpp"
#include "divs/comm/world.hpp"
#include "task.hpp"

namespace divs::comm {

// Root's bytes to all, along a binomial tree; a piece is passed on while the next one comes in. Equal length
// everywhere.
Task broadcast_bytes(Channel& channel, std::span<std::byte> bytes, int root);

// The same where only root knows the length: the others' `bytes` are replaced.
Task broadcast_string(Channel& channel, std::vector<std::byte>& bytes, int root);

// Everybody's bytes to root, where `into` gets one string a rank; elsewhere it becomes empty.
Task gather_strings(Channel& channel, const std::vector<std::byte>& mine, int root,
                    std::vector<std::vector<std::byte>>& into);

// Messages between any ranks. Lengths go first, so that every buffer has its final size before data comes.
Task exchange_messages(Channel& channel, const std::vector<Message>& outgoing,
                       std::vector<Message>& received);

}  // namespace divs::comm
