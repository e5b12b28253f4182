/** Small helpers of the page. */

export const byId = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

/** A status line: plain, or as a problem. */
export function say(id: string, text: string, problem = false): void {
  const line = byId(id);
  line.textContent = text;
  line.classList.toggle("problem", problem);
}

/** Does on a click what may fail, and says on a status line when it does. */
export function onClick(id: string, status: string, work: () => Promise<void>): void {
  byId(id).addEventListener("click", () => void work().catch((error: Error) => say(status, error.message, true)));
}

/** Files dropped on an element. */
export function onDrop(target: HTMLElement, take: (files: File[]) => void): void {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    target.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) take(files);
  });
}

/** A button that opens the file chooser of a hidden input. */
export function onChoose(button: HTMLElement, input: HTMLInputElement, take: (files: File[]) => void): void {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length > 0) take(files);
  });
}

/** Hands a blob to the browser as a download. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The fields of a form as texts. */
export const fieldsOf = (form: HTMLFormElement): Record<string, string> =>
  Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
