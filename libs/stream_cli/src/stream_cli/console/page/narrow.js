// Whether the screen is narrow.
import { useEffect, useMemo, useState } from "preact/hooks";

export function useNarrow() {
  const narrow = useMemo(() => matchMedia("(max-width: 720px)"), []);
  const [is, set] = useState(narrow.matches);
  useEffect(() => {
    const changed = () => set(narrow.matches);
    narrow.addEventListener("change", changed);
    return () => narrow.removeEventListener("change", changed);
  }, []);
  return is;
}
