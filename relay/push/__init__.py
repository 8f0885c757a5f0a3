"""From a stream to a CDN: sound, packaging, the RTMP connection, and the run of one push task."""
