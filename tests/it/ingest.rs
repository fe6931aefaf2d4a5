//! POST /hooks/{source}: the checks in their order and every row of the table, over a socket.
