/** gzip files of any number of members (bgzip, logs appended to each other), undone by zlib's port to JavaScript. */

/** 15 bits of window, and 16: gzip and nothing else. */
const GZIP = 15 + 16;
const OUT = 1 << 16;

/**
 * Expands all members, headers, sums and lengths checked; zeros behind the last one are padding. Takes input as it is
 * asked for output, so that memory is bounded whatever the data expands to. Throws RangeError.
 */
export async function* expandMembers(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // Loaded here: most hosts and most files never need it.
  const { ZStream, zlibInflate, zlibInflateInit2, zlibInflateReset, Z_NO_FLUSH, Z_BUF_ERROR, Z_STREAM_END } =
    await import("pako");
  const stream = new ZStream();
  zlibInflateInit2(stream, GZIP);
  /** A member has begun and not ended. */
  let open = true;
  let padding = false;
  for await (const piece of pieces) {
    stream.input = piece;
    stream.next_in = 0;
    stream.avail_in = piece.length;
    while (stream.avail_in > 0) {
      if (!open) {
        padding ||= piece[stream.next_in] === 0;
        if (padding) {
          const others = piece.subarray(stream.next_in).some((byte) => byte !== 0);
          if (others) throw new RangeError("incorrect header check: zeros are followed by other bytes");
          break;
        }
        zlibInflateReset(stream);
        open = true;
      }
      // Full output may leave more of it behind.
      do {
        if (stream.avail_out === 0) {
          stream.output = new Uint8Array(OUT);
          stream.next_out = 0;
          stream.avail_out = OUT;
        }
        const from = stream.next_out;
        const status = zlibInflate(stream, Z_NO_FLUSH);
        if (status < 0 && status !== Z_BUF_ERROR) throw new RangeError(stream.msg || "broken data");
        if (stream.next_out > from) yield stream.output.subarray(from, stream.next_out);
        open = status !== Z_STREAM_END;
      } while (open && stream.avail_out === 0);
    }
  }
  if (open) throw new RangeError("the data ends early");
}
