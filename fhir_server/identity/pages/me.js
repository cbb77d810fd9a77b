"use strict";
// Says in the header of a page who is logged in, and lets them log out.

(async () => {
  const root = document.currentScript.src.replace(/\/me\.js$/, "");
  const answer = await fetch(`${root}/me`);
  const me = answer.ok ? await answer.json() : {};
  if (!me.name) return;
  // Where nobody is known a page may ask who it is.
  for (const one of document.querySelectorAll("[data-nobody]")) one.remove();
  const place = document.createElement("span");
  place.className = "me";
  place.style.marginLeft = "auto";
  const link = document.createElement("a");
  link.href = `${root}/manage`;
  link.textContent = me.name;
  const out = document.createElement("button");
  out.type = "button";
  out.textContent = "Log out";
  out.addEventListener("click", async () => {
    await fetch(`${root}/logout`, { method: "POST", body: new URLSearchParams({ csrf: me.csrf }) });
    location.href = `${root}/login?${new URLSearchParams({ next: location.href })}`;
  });
  place.append(link, " ", out);
  document.querySelector("header").append(place);
})();
