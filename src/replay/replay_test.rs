//! Replays of files and logs, against the server session of the RTMP room.
