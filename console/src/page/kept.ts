/** What a user chose and the browser keeps: another window may choose, too. */

export function onChosenElsewhere(name: string, take: (text: string | null) => void): void {
  addEventListener("storage", ({ key, newValue }) => {
    if (key === name) take(newValue);
  });
}
