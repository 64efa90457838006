// What the kernel sends compressed (sftkit/widgets/packed.py), as the text it was.

/** bytes: as zlib makes them, in whatever form the host hands on a buffer. */
export function unpacked(bytes: DataView | ArrayBuffer): Promise<string> {
  return new Response(new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

/** A module from its text, the way anywidget itself brings a widget's code into the page. */
export async function fromSource<T>(source: string): Promise<T> {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return (await import(/* @vite-ignore */ address)) as T;
  } finally {
    URL.revokeObjectURL(address);
  }
}
