// What opens the account stands behind the "#": no server sees it before the form is sent.
"use strict";

const form = document.querySelector("form");
const says = document.getElementById("says");
const rows = { name: document.getElementById("name-row"), password: document.getElementById("password-row") };
const token = location.hash.slice(1);

function say(text, isError) {
  says.textContent = text;
  says.className = isError ? "error" : "";
}

function askForPassword() {
  rows.password.hidden = false;
  rows.name.hidden = !form.dataset.action.includes("invitations");
  form.elements.password.required = true;
  form.elements.password.focus();
}

function complaint(answer) {
  const errors = Object.values(answer.errors || {}).flat();
  return errors.length ? errors.join(" ") : answer.detail;
}

async function send() {
  const body = { token };
  for (const name of ["password", "name"]) {
    if (!rows[name].hidden && form.elements[name].value) body[name] = form.elements[name].value;
  }
  const response = await fetch(form.dataset.action, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit",
  });
  if (response.ok) {
    form.hidden = true;
    history.replaceState(null, "", location.pathname);
    say(form.dataset.done);
    return;
  }
  const answer = await response.json();
  if (answer.code === "password_required") {
    askForPassword();
    say("Choose a password, and you are in.");
  } else {
    say(complaint(answer), true);
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await send();
  } catch {
    say("The service cannot be reached. Try again shortly.", true);
  } finally {
    button.disabled = false;
  }
});

if (token) {
  form.hidden = false;
  if ("asksPassword" in form.dataset) askForPassword();
} else {
  say("This link is not whole. Copy all of it from the mail.", true);
}
