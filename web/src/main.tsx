import { render } from "preact";
import { App } from "./App";
import "./explore.css";

const place = document.getElementById("app");
if (place) {
  place.replaceChildren();
  render(<App />, place);
}
