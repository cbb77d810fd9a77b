"""Documents as resources of their own: their bytes are a Binary, to which Attachments lead.

https://hl7.org/fhir/R4/binary.html
"""

from adapters.hl7.mapping.context import Content, Context, Json


def kept(ctx: Context, attachment: Json, key: str, owner: str = "") -> Json:
    """Return the Attachment with a URL in place of its data, which become a Binary.

    `key` tells documents with equal bytes apart: those of two people are two.
    """
    if "data" not in attachment:
        return attachment
    id_ = ctx.key("Binary", key, attachment["hash"])
    resource: Json = {
        "resourceType": "Binary",
        "id": id_,
        "contentType": attachment["contentType"],
        "data": attachment["data"],
    }
    ctx.binaries[id_] = Content(resource, owner)
    described = {name: said for name, said in attachment.items() if name != "data"}
    return {**described, "url": f"Binary/{id_}"}
