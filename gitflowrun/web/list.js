"use strict";
// Lists the cards of a run, shows one in a frame, and keeps it up to date while its task goes on.

const place = (id) => document.getElementById(id);
const frame = place("card");
let shown = null; // the row of the card in the frame
let asking = false;

async function asked(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function load(row) {
  // Scripts of a card whose run is trusted may run, and this page tells it what is new. The others come with a policy
  // of their own, and are kept in a frame without any permission, too.
  if (!row.untrusted) frame.removeAttribute("sandbox");
  else frame.setAttribute("sandbox", "");
  frame.hidden = false;
  frame.src = `card/${row.at}?${encodeURIComponent(row.hash)}-${Date.now()}`;
}

function show(row) {
  shown = row;
  load(row);
  for (const button of place("cards").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.at === row.at));
  }
}

function button(row) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.at = row.at;
  made.textContent = row.task;
  if (row.live) made.classList.add("live");
  const kind = document.createElement("small");
  kind.textContent = row.id === null ? row.type : `${row.id} (${row.type})`;
  made.append(kind);
  made.setAttribute("aria-current", String(shown !== null && shown.at === row.at));
  made.addEventListener("click", () => show(row));
  const item = document.createElement("li");
  item.append(made);
  return item;
}

async function update(row) {
  const news = await asked(`updates/${row.at}`);
  const page = frame.contentWindow;
  const taken = news && page && (page.gitflowrun_card_update || page.metaflow_card_update);
  const token = page && page.document.documentElement.dataset.reloadToken;
  if (!taken || (token !== undefined && token !== news.reload_token)) load(row);
  else taken.call(page, news.html || news.data);
}

async function look() {
  const found = await asked("cards");
  place("run").textContent = found.run || found.flow;
  place("status").textContent = found.run ? found.status : "no runs yet";
  document.title = `Cards of ${found.run || found.flow}`;
  const rows = found.cards;
  const list = place("cards");
  const key = JSON.stringify(rows.map((row) => [row.at, row.live, row.task]));
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...rows.map(button));
  }
  place("more").hidden = !found.more;
  place("more").textContent = `Only the newest ${rows.length} cards are listed; --max-cards says how many.`;
  const notes = [found.untrusted, ...(found.unreadable || [])].filter(Boolean);
  place("note").hidden = notes.length === 0;
  place("note").textContent = notes.join("\n");
  place("empty").hidden = rows.length > 0;
  const row = rows.find((it) => shown !== null && it.at === shown.at) || rows[0];
  if (!row) {
    frame.hidden = true;
    shown = null;
  } else if (shown === null || row.at !== shown.at) show(row);
  else if (row.hash !== shown.hash || row.live !== shown.live || row.untrusted !== shown.untrusted) show(row);
  else if (row.live && !row.untrusted) await update(row);
  else if (row.live) load(row);
  return found.poll;
}

async function again() {
  let seconds = 5;
  try {
    seconds = await look();
    place("said").textContent = "";
  } catch (error) {
    place("said").textContent = error instanceof TypeError ? "The server has ended." : String(error.message);
  }
  setTimeout(again, 1000 * seconds);
}

again();
