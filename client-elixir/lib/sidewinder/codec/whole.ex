defmodule Sidewinder.Codec.Whole do
  @moduledoc """
  The part of `Sidewinder.Codec.Making` for messages of few fields that are all there, in their order and short, as an item
  of a stream is: they are one pattern, those within them included, and are taken apart in one step.

  That pattern is a clause of `read/2`, and of `several/4`, which goes through what has come on a stream from one message to
  the next: a part of the bytes is made for what is kept of a message, and for nothing else.
  """

  alias Sidewinder.Codec.{Reading, Text, Wire}

  # How many fields a message has at most that is looked at as a whole, and how many levels.
  @few 3
  @levels 3
  # What is said in one byte: a length, and the key of a field.
  @short 128
  @numbers 16

  @doc """
  A clause of `read/2` for the message of this name, to be put before its others, or none; and `several/4`, which takes
  messages off the front of what has come, each behind its five bytes of gRPC, the last one first. It stops at what it has
  no pattern for, or at what is no such message.
  """
  @spec functions(String.t(), map, (String.t() -> module)) :: {[Macro.t()], [Macro.t()]}
  def functions(name, messages, name_of) do
    last = quote(do: def(several(rest, _max, left, taken), do: {taken, left, rest}))

    if plain?(name, messages) do
      shape = shape(name, {messages, name_of}, "its")
      {[read(shape)], if(shape.whole, do: [several(shape), last], else: [last])}
    else
      {[], [last]}
    end
  end

  defp plain?(name, messages) do
    fields = messages[name].fields
    fields != [] and length(fields) <= @few and Enum.all?(fields, &plain_field?/1)
  end

  defp plain_field?(%{number: number, label: label, kind: kind}),
    do: number < @numbers and label in [:one, :optional] and (kind in [:bytes, :string] or match?({:message, _}, kind))

  defp read(shape) do
    # As deep as what is in it lies.
    deepest = Wire.depth_max() - shape.levels

    quote do
      def read(<<unquote_splicing(shape.parts)>>, depth) when unquote(shape.fits) and depth <= unquote(deepest) do
        unquote_splicing(for {text, bytes} <- shape.texts, do: quote(do: unquote(text) = Wire.text(unquote(bytes))))
        unquote(shape.value)
      end
    end
  end

  defp several(shape) do
    {before, [size, bytes]} = Enum.split(shape.parts, -2)

    quote do
      def several(<<0, size::32, unquote_splicing(before), tail::binary>> = all, max, left, taken)
          when left > 0 and size <= max do
        case tail do
          unquote(known(shape, size) ++ any(shape, size, bytes) ++ quote(do: (_ -> {taken, left, all})))
        end
      end
    end
  end

  # What comes again and again in the last place is compared where it stands: no part of the bytes is made for it.
  defp known(%{last: nil}, _size), do: []

  defp known(%{last: last} = shape, size) do
    for text <- Text.known() do
      fits = Macro.postwalk(fits(shape), &if(&1 == size, do: byte_size(text), else: &1))
      value = Macro.postwalk(shape.value, &if(&1 == last, do: text, else: &1))
      texts = List.keydelete(shape.texts, last, 0)
      further = further(%{shape | value: value}, texts)

      quote(do: (<<unquote(byte_size(text)), unquote(text), rest::binary>> when unquote(fits) -> unquote(further)))
      |> hd()
    end
  end

  defp any(shape, size, bytes) do
    quote do
      <<unquote(size), unquote(bytes), rest::binary>> when unquote(fits(shape)) -> unquote(further(shape, shape.texts))
    end
  end

  defp fits(shape), do: quote(do: size == unquote(shape.size) and unquote(shape.fits))

  defp further(shape, []), do: quote(do: several(rest, max, left - 1, [unquote(shape.value) | taken]))

  defp further(shape, [{text, bytes} | unsure]) do
    quote do
      unquote(text) = unquote(bytes)
      if Text.valid?(unquote(text)), do: unquote(further(shape, unsure)), else: {taken, left, all}
    end
  end

  ## The shape of a message: its parts in a pattern and what they must be, how large they are together and what they mean

  defp shape(name, {messages, name_of} = known, path, depth \\ 0) do
    fields = for field <- messages[name].fields, do: field(field, known, "#{path}_#{field.name}", depth + 1)
    members = for field <- fields, do: {field.name, field.value}

    %{
      parts: Enum.flat_map(fields, & &1.parts),
      fits: fields |> Enum.map(& &1.fits) |> Enum.reduce(&quote(do: unquote(&2) and unquote(&1))),
      size: fields |> Enum.map(& &1.size) |> Enum.reduce(&quote(do: unquote(&2) + unquote(&1))),
      levels: fields |> Enum.map(& &1.levels) |> Enum.max(),
      whole: Enum.all?(fields, & &1.whole),
      texts: Enum.flat_map(fields, & &1.texts),
      last: List.last(fields).last,
      # A map that begins with a constant is made in two steps by the BEAM: what struct it is comes last.
      value: quote(do: %{unquote_splicing(members ++ [__unknown__: [], __struct__: name_of.(name)])})
    }
  end

  defp field(%{kind: {:message, name}} = field, {messages, name_of} = known, path, depth) do
    if depth < @levels and plain?(name, messages) do
      within(field, variable(path, "size"), shape(name, known, path, depth))
    else
      module = name_of.(name)
      %{sized(field, path, &quote(do: unquote(module).read(unquote(&1), depth + unquote(depth)))) | whole: false}
    end
  end

  defp field(%{kind: :bytes} = field, _known, path, _depth), do: sized(field, path, & &1)

  defp field(%{kind: :string} = field, _known, path, _depth) do
    text = variable(path, "text")
    field = sized(field, path, fn _bytes -> text end)
    %{field | texts: [{text, variable(path, "bytes")}], last: text}
  end

  defp sized(field, path, value) do
    {size, bytes} = {variable(path, "size"), variable(path, "bytes")}

    %{
      name: field.name,
      parts: [Reading.key(field, field.kind), size, quote(do: unquote(bytes) :: binary - size(unquote(size)))],
      fits: quote(do: unquote(size) < unquote(@short)),
      size: quote(do: unquote(size) + 2),
      levels: 0,
      whole: true,
      texts: [],
      last: nil,
      value: value.(bytes)
    }
  end

  defp within(field, size, inner) do
    inner
    |> Map.merge(%{name: field.name, levels: inner.levels + 1, size: quote(do: unquote(size) + 2)})
    |> Map.put(:parts, [Reading.key(field, field.kind), size | inner.parts])
    |> Map.put(
      :fits,
      quote(do: unquote(size) < unquote(@short) and unquote(size) == unquote(inner.size) and unquote(inner.fits))
    )
  end

  defp variable(path, what), do: {:"#{path}_#{what}", [], __MODULE__}
end
